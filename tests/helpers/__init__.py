"""What tests share: small data sets, models with a known answer, files and servers made on the spot."""
