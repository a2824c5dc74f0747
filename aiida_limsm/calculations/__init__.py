"""CalcJobs (one per `limsm` job) and calcfunctions."""
