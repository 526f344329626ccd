"""The workbook benchmark: many rows beside pandas and openpyxl."""
