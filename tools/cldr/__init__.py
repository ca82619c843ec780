"""The atlas and the table of scripts, made from Unicode CLDR as the package Babel holds it."""
