-- Prolongs a lease. ARGV: now, job, fence, length in ms. Answers with the record's version.

local job = load(ARGV[2])
if not holds(job, ARGV[3]) then return {'lost', ARGV[2]} end
local ends = now + tonumber(ARGV[4])
redis.call('HSET', job_key(job.id), 'u', ends)
if job.n ~= '-' then redis.call('ZADD', due_key(job.k), ends, job.id) end
return {'ok', job.v}
