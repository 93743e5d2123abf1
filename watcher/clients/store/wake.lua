-- A nudge. ARGV: now, job.

wake(ARGV[2])
ring()
return {'ok'}
