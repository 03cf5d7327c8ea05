-- +goose Up
-- Which due subscription goes first; whether Ordergroove counts it itself; the order that would be a box too many; and what a
-- comparison with Ordergroove saw of it.
alter table subscriptions add column urgency integer not null default 0;
alter table subscriptions add column prepaid integer not null default 0;
alter table subscriptions add column extra_order text not null default '';
alter table subscriptions add column extra_place integer not null default 0;
alter table subscriptions add column upcoming text not null default '';
alter table subscriptions add column listed_at integer not null default 0;
drop index subscriptions_due;
create index subscriptions_due on subscriptions (urgency desc, due, id) where due is not null;

-- The comparison under way, and when the last ones that came to their end began: at most one row.
create table reconciliation (
	one         integer not null primary key check (one = 1),
	scope       text not null default '',
	started     integer not null default 0,
	claim       text not null default '',
	claim_until integer not null default 0,
	all_at      integer not null default 0,
	recent_at   integer not null default 0
);

-- How far it has come in the list of each SKU.
create table reconciliation_lists (
	sku  text not null primary key,
	next text not null default '',
	done integer not null default 0
);

-- +goose Down
drop table reconciliation_lists;
drop table reconciliation;
drop index subscriptions_due;
create index subscriptions_due on subscriptions (due) where due is not null;
alter table subscriptions drop column listed_at;
alter table subscriptions drop column upcoming;
alter table subscriptions drop column extra_place;
alter table subscriptions drop column extra_order;
alter table subscriptions drop column prepaid;
alter table subscriptions drop column urgency;
