-- +goose Up
-- What happens to a term besides its boxes: the boxes of earlier terms, and the checkout's; the term that it was released from;
-- a reactivation after the end; the members of extra_data that we put there; and what was told.
alter table subscriptions add column past bigint not null default 0;
alter table subscriptions add column at_checkout bigint not null default 1;
alter table subscriptions add column exempt text not null default '';
alter table subscriptions add column reopened bigint not null default 0;
alter table subscriptions add column cancel_after bigint not null default 0;
alter table subscriptions add column blocking bigint not null default 0;
alter table subscriptions add column members text not null default '';
alter table subscriptions add column last_told bigint not null default 0;
alter table subscriptions add column remind_at bigint not null default 0;
create index subscriptions_remind on subscriptions (remind_at) where remind_at > 0;
create index subscriptions_term on subscriptions (term);

-- Which boxes a notice has told of. Those from before there were notices are old news.
alter table shipments add column told bigint not null default 0;
update shipments set told = 1;

-- Notices on their way to a merchant's other systems, one row for each that is to have it.
create table notices (
	id           text not null,
	endpoint     text not null,
	type         text not null,
	subscription text not null,
	created      bigint not null,
	body         bytea not null,
	status       text not null,
	attempts     bigint not null default 0,
	due          bigint,
	last_error   text not null default '',
	primary key (id, endpoint)
);
create index notices_due on notices (due) where due is not null;
create index notices_created on notices (created);
create index notices_dead on notices (id) where status = 'dead';
create index journal_at on journal (at);

-- +goose Down
drop index journal_at;
drop table notices;
alter table shipments drop column told;
drop index subscriptions_term;
drop index subscriptions_remind;
alter table subscriptions drop column remind_at;
alter table subscriptions drop column last_told;
alter table subscriptions drop column members;
alter table subscriptions drop column blocking;
alter table subscriptions drop column cancel_after;
alter table subscriptions drop column reopened;
alter table subscriptions drop column exempt;
alter table subscriptions drop column at_checkout;
alter table subscriptions drop column past;
