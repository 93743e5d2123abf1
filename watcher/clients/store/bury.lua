-- Among the dead letters. ARGV: now, job, fence, version, why, audit entry.

local job = load(ARGV[2])
if not holds(job, ARGV[3]) then return {'lost', ARGV[2]} end
if job.v ~= tonumber(ARGV[4]) then return {'conflict', job.id, job.v} end
redis.call('ZREM', due_key(job.k), job.id)
redis.call('HSET', job_key(job.id), 'u', 0, 'n', '', 'x', ARGV[5])
redis.call('ZADD', P .. 'dead', now, job.id)
note(job.id, ARGV[6])
return {'ok'}
