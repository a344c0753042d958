"""What tests share: small data sets, models with a known answer, and servers."""
