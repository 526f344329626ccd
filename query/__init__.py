"""The SCU side: asks a PACS what it holds and has it sent here; stores nothing itself."""
