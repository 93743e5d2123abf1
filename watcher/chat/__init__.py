"""What people in chat may do: buttons, forms and `/relayer`. Decided by `people`, as everywhere."""
