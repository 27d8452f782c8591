"""From deliveries to events and records; receiving them and answering questions are left to other rooms."""
