"""What each page asks: its form, and what its template needs beside the answer."""
