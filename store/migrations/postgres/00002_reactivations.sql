-- +goose Up
-- When somebody last reactivated the subscription, and whether we have asked for its cancellation: one that was reactivated
-- after its last order was placed, with our cancel on its way, took effect and was taken back.
alter table subscriptions add column reactivated_at bigint not null default 0;
alter table subscriptions add column cancel_sent bigint not null default 0;

-- +goose Down
alter table subscriptions drop column cancel_sent;
alter table subscriptions drop column reactivated_at;
