-- Takes the job that has been due longest. ARGV: now, length of the lease in ms,
-- the worker's name (for people who look into Redis), kinds.
-- Answers with the job, or with where the caller stood when there was none (see wait_due).

local best, score, kind
for i = 4, #ARGV do
  local first = redis.call(
    'ZRANGE', due_key(ARGV[i]), '-inf', now, 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES'
  )
  if first[1] then
    local at = tonumber(first[2])
    if not best or at < score or (at == score and first[1] < best) then
      best, score, kind = first[1], at, ARGV[i]
    end
  end
end
if not best then return {'', stands('bell')} end
local key = job_key(best)
local ends = now + tonumber(ARGV[2])
redis.call('ZADD', due_key(kind), ends, best)
redis.call('HSET', key, 'u', ends, 'n', '', 'w', ARGV[3])
local fence = redis.call('HINCRBY', key, 'f', 1)
local attempt = redis.call('HINCRBY', key, 'a', 1)
local got = redis.call('HMGET', key, 'r', 'v')
return {best, got[1], got[2], fence, attempt}
