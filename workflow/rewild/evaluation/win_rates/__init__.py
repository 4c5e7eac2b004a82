"""AlpacaEval 2 win rates from released annotations, raw and length-controlled."""
