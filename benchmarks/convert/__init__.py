"""How fast series are converted, beside dcm2niix and dicom2nifti on the same machine."""
