"""De-identification by PS3.15 Annex E: one dataset in, one without the patient's identity out.

Which attribute is treated how stands in `attributes.json`, Table E.1-1 of the standard as data.
"""
