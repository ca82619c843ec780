"""Entry point: makes a trained encoder ready for others: its model card, ONNX, the Hugging Face hub.

python -m mixlingual.export folder=multirun/SWEEP/RUN format=onnx
python -m mixlingual.export folder=multirun/SWEEP/RUN push=OWNER/NAME dry_run=false
"""

from __future__ import annotations

import sys

from mixlingual.config.schema import ExportConfig
from mixlingual.grid.doors import door


def export(config: ExportConfig) -> None:
    """Exports, and prints the files, how near a new format is to PyTorch, and what goes to the hub.

    Raises:
        MixlingualError: there is no such encoder, it cannot be exported, or the hub refuses it.
    """
    from mixlingual.api.export import export_encoder

    assert config.folder is not None
    found = export_encoder(
        config.folder, format=config.format, push=config.push, dry_run=config.dry_run, private=config.private
    )
    end = f"the encoder is in {found.folder}"
    if config.push:
        end = f"pushed to {found.url}" if found.url else f"dry run: dry_run=false sends these files to {config.push}"
    sys.stdout.write(f"{found.table()}\n{end}\n")


main = door("export", ExportConfig, export)

if __name__ == "__main__":
    main()
