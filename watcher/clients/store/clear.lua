-- Unmarks a subject unless it was marked again. ARGV: now, subject, rev that was read.

if redis.call('HGET', P .. 'mark-revs', ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('ZREM', P .. 'marks', ARGV[2])
return 1
