"""The prover: one module per part that it drives, and one per claim below the topic's folder."""
