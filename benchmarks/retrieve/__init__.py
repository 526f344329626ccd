"""Retrieving a study from Orthanc, beside DCMTK's movescu and storescp."""
