-- Subjects that are marked, those marked longest ago first. ARGV: now, how many.
-- Answers with where the bell stands (see wait_marked), and then subject and rev in turn.

local answer = {stands('mark-bell')}
local first = redis.call(
  'ZRANGE', P .. 'marks', '-inf', '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2]
)
for _, subject in ipairs(first) do
  answer[#answer + 1] = subject
  answer[#answer + 1] = redis.call('HGET', P .. 'mark-revs', subject)
end
return answer
