"""Making the exercises from their solutions, and grading a class: `python -m grading.release`, `python -m grading`."""
