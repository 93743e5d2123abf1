-- One consistent view of an index, newest first. ARGV: now, index, how many (0: all).

local answer = {}
for i, id in ipairs(redis.call('ZREVRANGE', P .. ARGV[2], 0, tonumber(ARGV[3]) - 1)) do
  answer[i] = redis.call('HMGET', job_key(id), 'r', 'v', 'x')
end
return answer
