-- An audit entry of something that changed nothing. ARGV: now, job or empty, entry.

note(ARGV[2], ARGV[3])
return {'ok'}
