"""The questions: each module declares one, and answers it."""
