"""What a single process can't show: races, revocations and kills, with processes of their own."""
