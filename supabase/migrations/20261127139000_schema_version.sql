-- This release asks for a function that the schema before it does not have.

create or replace function public.switchyard_schema_version() returns jsonb
language sql immutable security definer
set search_path = ''
as $$
  select jsonb_build_object('version', 5)
$$;
