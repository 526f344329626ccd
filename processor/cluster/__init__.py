"""Jobs on a Dask cluster: the same jobs as in local workers, behind the same interface."""
