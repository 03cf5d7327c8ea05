-- +goose Up
create table events (
	created    integer not null,
	id         text    not null,
	type       text    not null,
	received   integer not null,
	body       blob    not null,
	status     text    not null,
	attempts   integer not null default 0,
	due        integer,
	last_error text    not null default '',
	primary key (created, id)
);
create index events_due on events (due) where due is not null;
create index events_received on events (received);

create table subscriptions (
	id              text    not null primary key,
	sku             text    not null,
	term            text    not null,
	customer        text    not null,
	shipments_due   integer not null,
	adjustment      integer not null default 0,
	counters_sent   text    not null default '',
	counter_written integer,
	state           text    not null,
	reason          text    not null default '',
	live            integer not null default 1,
	completed       integer not null default 0,
	due             integer,
	claim           text    not null default '',
	claim_until     integer not null default 0,
	revision        integer not null default 0,
	attempts        integer not null default 0,
	last_error      text    not null default '',
	enrolled_by     text    not null,
	enrolled_at     integer not null
);
create index subscriptions_due on subscriptions (due) where due is not null;

create table shipments (
	subscription text    not null,
	order_id     text    not null,
	sku          text    not null,
	source       text    not null,
	at           integer not null,
	primary key (subscription, order_id)
);

create table orders_read (
	order_id text    not null primary key,
	at       integer not null
);
create index orders_read_at on orders_read (at);

create table journal (
	sequence     integer primary key autoincrement,
	subscription text    not null,
	at           integer not null,
	actor        text    not null,
	what         text    not null,
	before       text    not null default '',
	after        text    not null default '',
	reason       text    not null default ''
);
create index journal_subscription on journal (subscription, sequence);

-- +goose Down
drop table journal;
drop table orders_read;
drop table shipments;
drop table subscriptions;
drop table events;
