"""What people look at: pages made on the server, and kept up to date while they are open."""
