-- Gives a lease back. ARGV: now, job, fence, due in ms, '1' if the attempt failed.

local job = load(ARGV[2])
if not holds(job, ARGV[3]) then return {'lost', ARGV[2]} end
redis.call('HSET', job_key(job.id), 'u', 0, 'n', '')
if ARGV[5] == '' then redis.call('HSET', job_key(job.id), 'a', 0) end
if job.n ~= '-' then enqueue(job, earlier(now + tonumber(ARGV[4]), job.n)) end
ring()
return {'ok'}
