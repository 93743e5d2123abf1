-- How the queue stands. ARGV: now, kinds. Answers with four numbers for each kind: not leased, due,
-- leased, and for how many milliseconds the first of the due ones has been due.

local answer = {}
for i = 2, #ARGV do
  local key = due_key(ARGV[i])
  local due = redis.call('ZRANGE', key, '-inf', now, 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  local leased = 0
  -- What is leased is visible again when the lease ends, so only later ones can be.
  for _, id in ipairs(redis.call('ZRANGE', key, '(' .. now, '+inf', 'BYSCORE')) do
    if tonumber(redis.call('HGET', job_key(id), 'u') or '0') > now then leased = leased + 1 end
  end
  answer[#answer + 1] = redis.call('ZCARD', key) - leased
  answer[#answer + 1] = redis.call('ZCOUNT', key, '-inf', now)
  answer[#answer + 1] = leased
  answer[#answer + 1] = due[1] and now - tonumber(due[2]) or 0
end
return answer
