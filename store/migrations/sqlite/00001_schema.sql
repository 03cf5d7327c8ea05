-- +goose Up

-- The inbox: verified webhooks. (created, id) is the event's own time and id, the same in every duplicate.
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
	reason     text    not null default '',
	trace      text    not null default '',
	primary key (created, id)
);
create index events_due on events (due) where due is not null;
create index events_failed on events (due) where due is not null and attempts > 0;
create index events_received on events (received);
create index events_type on events (type, received);
create index events_ignored on events (received) where status = 'ignored';
create index events_dead on events (received) where status = 'dead';
create index events_quarantined on events (received) where status = 'quarantined';

-- Which events were about which subscription.
create table event_subscriptions (
	subscription text    not null,
	created      integer not null,
	id           text    not null,
	primary key (subscription, created, id)
);
create index event_subscriptions_event on event_subscriptions (created, id);

-- Who a subscription is, what Ordergroove last said of it, and its place in the queue of syncs.
create table subscriptions (
	id             text    not null primary key,
	customer       text    not null,
	created_at     integer not null default 0,
	live           integer not null default 1,
	prepaid        integer not null default 0,
	reactivated_at integer not null default 0,
	extra_order    text    not null default '',
	extra_place    integer not null default 0,
	upcoming       text    not null default '',
	listed_at      integer not null default 0,
	remind_at      integer not null default 0,
	changed_at     integer not null default 0,
	adjustments    integer not null default 0,
	created        integer not null,
	due            integer,
	priority       integer not null default 0,
	lease          text    not null default '',
	lease_until    integer not null default 0,
	attempts       integer not null default 0,
	last_error     text    not null default '',
	revision       integer not null default 0,
	trace          text    not null default '',
	-- What lists select by; nothing that decides reads it.
	state          text    not null default '',
	term           text    not null default '',
	sku            text    not null default '',
	made           integer not null default 0,
	total          integer not null default 0,
	last_next      integer not null default 0 -- active, and one shipment remains
);
create index subscriptions_newest on subscriptions (created, id);
create index subscriptions_state on subscriptions (state, created, id);
create index subscriptions_term on subscriptions (term, created, id);
create index subscriptions_term_state on subscriptions (term, state, created, id);
create index subscriptions_sku on subscriptions (sku, created, id);
create index subscriptions_customer on subscriptions (customer, created, id);
create index subscriptions_last_next on subscriptions (last_next, created, id);
create index subscriptions_due on subscriptions (priority desc, due, id) where due is not null;
create index subscriptions_failed on subscriptions (priority desc, due, id) where due is not null and attempts > 0;
create index subscriptions_remind on subscriptions (remind_at) where remind_at > 0;
create index subscriptions_risk on subscriptions (state) where live = 1 and prepaid = 0 and made >= total;

-- One run of a term by one subscription. The one with the highest number is the current one.
create table enrollments (
	subscription           text    not null,
	number                 integer not null,
	term                   text    not null,
	sku                    text    not null,
	opened_at              integer not null,
	opened_by              text    not null,
	checkout_shipments     integer not null,
	orders_due             integer not null,
	adjustment             integer not null default 0,
	counters_sent          text    not null default '',
	counter_confirmed      integer,
	managed_keys           text    not null default '',
	state                  text    not null,
	reason                 text    not null default '',
	approval               text    not null default '',
	seen_running           integer not null default 0,
	admitted_at            integer not null default 0,
	withheld               text    not null default '',
	cancel_requested_at    integer not null default 0,
	canceled_by            text    not null default '',
	closed_at              integer not null default 0,
	closed_as              text    not null default '',
	last_shipment_notified integer not null default 0,
	respelled_at           integer not null default 0,
	primary key (subscription, number)
);
create index enrollments_term on enrollments (term);
create index enrollments_attention on enrollments (subscription) where state = 'attention';
create index enrollments_completed on enrollments (closed_at) where closed_as = 'completed';
create index enrollments_withheld on enrollments (subscription) where withheld <> '';

-- A subscription's part in a placed order. It belongs to an enrollment, or says why it belongs to none.
create table shipments (
	subscription text    not null,
	order_id     text    not null,
	enrollment   integer not null,
	excluded     text    not null default '',
	sku          text    not null,
	source       text    not null,
	placed_at    integer not null,
	notified     integer not null default 0,
	primary key (subscription, order_id)
);

create index shipments_order on shipments (order_id);
create index shipments_placed on shipments (placed_at) where enrollment > 0;

-- Orders whose items had to be asked for, so that they are asked for once.
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
create index journal_at on journal (at);

-- The outbox: a row for each message and endpoint.
create table messages (
	id           text    not null,
	endpoint     text    not null,
	type         text    not null,
	subscription text    not null,
	created      integer not null,
	body         blob    not null,
	status       text    not null,
	attempts     integer not null default 0,
	due          integer,
	last_error   text    not null default '',
	primary key (id, endpoint)
);
create index messages_due on messages (endpoint, due) where due is not null;
create index messages_created on messages (created);
create index messages_dead on messages (id) where status = 'dead';

-- The reconciliation in progress, and when the last finished ones began: one row at most.
create table reconciliation (
	one            integer not null primary key check (one = 1),
	scope          text    not null default '',
	started        integer not null default 0,
	lease          text    not null default '',
	lease_until    integer not null default 0,
	all_at         integer not null default 0,
	recent_at      integer not null default 0,
	upcoming_at    integer not null default 0, -- when the list of upcoming items was last read
	upcoming_pages integer not null default 0  -- how many pages of it are known
);

-- How far it is in the list of each SKU.
create table reconciliation_lists (
	sku  text    not null primary key,
	next text    not null default '',
	done integer not null default 0
);

-- What persons asked for, each recorded before the call that carries it out.
create table actions (
	key          text    not null primary key,
	subscription text    not null,
	kind         text    not null,
	actor        text    not null,
	reason       text    not null default '',
	order_id     text    not null default '',
	status       text    not null,
	detail       text    not null default '',
	created      integer not null,
	finished     integer not null default 0
);
create index actions_subscription on actions (subscription, created);
create index actions_finished on actions (finished) where finished > 0;
create index actions_open on actions (created) where status in ('started', 'unknown');

-- Changes of single orders before they ship, each with the calls that it consists of.
create table adjustments (
	id           text    not null primary key,
	subscription text    not null,
	enrollment   integer not null default 0,
	key          text    not null default '',
	type         text    not null,
	spec         text    not null,
	slot         integer not null default 0,
	actor        text    not null,
	status       text    not null,
	order_id     text    not null default '',
	reason       text    not null default '',
	created      integer not null,
	updated      integer not null,
	calls        text    not null default '',
	open         integer not null
);
create unique index adjustments_key on adjustments (subscription, key) where key <> '';
create index adjustments_subscription on adjustments (subscription, created, id);
create index adjustments_newest on adjustments (created, id);
create index adjustments_status on adjustments (status, created, id);
create index adjustments_open on adjustments (subscription) where open = 1;

-- The upcoming order of each subscription that has adjustments, and its place in the schedule.
create table schedules (
	subscription text    not null primary key,
	order_id     text    not null,
	items        text    not null,
	slot         integer not null,
	placed       integer not null,
	place        integer not null,
	original     integer not null,
	moved        text    not null
);

-- Since when each SKU has been listed in termed.yaml; one that was taken out has a time of removal.
create table listed_skus (
	sku        text    not null primary key,
	listed_at  integer not null,
	removed_at integer not null default 0
);

-- The ends that nobody saw coming and that were begun in the last hour.
create table unexplained_ends (
	subscription text    not null,
	at           integer not null,
	primary key (subscription, at)
);

-- Since when an operator has paused all changes at Ordergroove: one row at most.
create table pause (
	one      integer not null primary key check (one = 1),
	since    integer not null,
	actor    text    not null,
	reason   text    not null,
	restored integer not null default 0 -- 1: the database was brought back from a copy, and is compared first
);

-- What is known of the database itself: one row at most.
create table installation (
	one       integer not null primary key check (one = 1),
	backup_at integer not null default 0, -- when the last backup was made
	proved_at integer not null default 0  -- when somebody tried whether a commit works
);

-- The running services, each with the time until which it counts as running. Only PostgreSQL needs it: a SQLite file
-- is locked.
create table services (
	id             text    not null primary key,
	kind           text    not null, -- service or command
	outgoing_group text    not null,
	until          integer not null
);

-- +goose Down
drop table services;
drop table installation;
drop table pause;
drop table unexplained_ends;
drop table listed_skus;
drop table schedules;
drop table adjustments;
drop table actions;
drop table reconciliation_lists;
drop table reconciliation;
drop table messages;
drop table journal;
drop table orders_read;
drop table shipments;
drop table enrollments;
drop table subscriptions;
drop table event_subscriptions;
drop table events;
