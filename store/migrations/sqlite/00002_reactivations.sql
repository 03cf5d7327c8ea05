-- +goose Up
-- How often somebody reactivated the subscription, and how often that was when we last asked for its cancellation: if it
-- grew since, our cancel took effect and was taken back.
alter table subscriptions add column reactivations integer not null default 0;
alter table subscriptions add column cancel_sent integer;

-- +goose Down
alter table subscriptions drop column cancel_sent;
alter table subscriptions drop column reactivations;
