"""One folder a study: config, results, figures, claims and page."""
