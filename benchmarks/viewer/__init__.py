"""How soon a slice is seen: the viewer beside Orthanc's rendered images."""
