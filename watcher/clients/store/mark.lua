-- Marks subjects. ARGV: now, subjects.

for i = 2, #ARGV do mark(ARGV[i]) end
ring()
return {'ok'}
