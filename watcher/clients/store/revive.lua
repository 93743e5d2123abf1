-- Back from the dead letters. ARGV: now, job, audit entry.

local job = load(ARGV[2])
if not job or not job.x then return {'absent'} end
redis.call('HDEL', job_key(job.id), 'x')
redis.call('HSET', job_key(job.id), 'a', 0)
redis.call('ZREM', P .. 'dead', job.id)
enqueue(job, now)
note(job.id, ARGV[3])
ring()
return {'ok'}
