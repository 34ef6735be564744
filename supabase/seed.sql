-- Demo data for development. Safe to run again: what is there stays as it is, but an account that is nearly
-- used up is filled again.

insert into auth.users (id, email)
values ('00000000-0000-4000-a000-0000000000d0', 'demo@example.com')
on conflict do nothing;

insert into public.credit_balances (user_id, credits_remaining, plan_type)
values ('00000000-0000-4000-a000-0000000000d0', 50, 'free')
on conflict (user_id) do update
set credits_remaining = 50
where credit_balances.credits_remaining - credit_balances.held < 5;

-- No model is named, so that DEFAULT_MODEL is asked.
insert into public.agents
  (id, user_id, name, description, system_prompt, kind, is_heavy, is_published, tools, ai_model)
values
  (
    '00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-0000000000d0', 'Research assistant',
    'Thinks, calls tools and answers.', 'You are a careful research assistant.', 'chat', true, true,
    '["now", "http_fetch", "forecast"]', null
  ),
  (
    '00000000-0000-4000-a000-000000000002', '00000000-0000-4000-a000-0000000000d0', 'Forecaster',
    'Forecasts a daily or monthly series with Prophet.', null, 'forecast', true, true, '[]', null
  ),
  (
    '00000000-0000-4000-a000-000000000003', '00000000-0000-4000-a000-0000000000d0', 'Receptionist',
    'Short answers, straight from the edge.', 'You answer in one sentence.', 'chat', false, true, '[]', null
  )
on conflict do nothing;
