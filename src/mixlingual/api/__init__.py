"""What other programs call: `import mixlingual` hands these names out, and imports a module when one is used."""
