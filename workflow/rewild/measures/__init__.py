"""What is measured of responses: similarity, diversity, style, throughput."""
