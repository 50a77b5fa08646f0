-- The tables of pyflake's leases. Running this again changes nothing; tables of an earlier version get what they lack.
BEGIN;

-- Two that migrate at once follow each other; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(2026112400);

-- What a realm is for, for all time, and which server has kept its windows.
CREATE TABLE IF NOT EXISTS public.pyflake_realms (
    realm             text   PRIMARY KEY,
    epoch_ms          bigint NOT NULL,
    layout            text   NOT NULL,
    server            text   NOT NULL,
    longest_window_ms bigint NOT NULL DEFAULT 0
);
-- A fence counts `generation` up, and says until when it lets all nodes rest, and why.
ALTER TABLE public.pyflake_realms
    ADD COLUMN IF NOT EXISTS generation bigint NOT NULL DEFAULT 1,
    ADD COLUMN IF NOT EXISTS rest_ms    bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS rest_cause text   NOT NULL DEFAULT '';

-- A row for each of a realm's 1024 nodes. `expires_at` says who may be taken for dead; `until_ms` alone keeps IDs unique.
-- Room is left in the pages, so that a renewal stays in its page and touches no index.
CREATE TABLE IF NOT EXISTS public.pyflake_nodes (
    realm       text        NOT NULL REFERENCES public.pyflake_realms,
    node        bigint      NOT NULL CHECK (node BETWEEN 0 AND 1023),
    token       bigint      NOT NULL DEFAULT 0,
    owner_nonce bigint,
    owner_label text        NOT NULL DEFAULT '',
    acquired_at timestamptz,
    window_ms   bigint      NOT NULL DEFAULT 0,
    expires_at  timestamptz NOT NULL DEFAULT '-infinity',
    until_ms    bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (realm, node)
) WITH (fillfactor = 30);
-- The start of the server that the row was last proven under, and the realm's generation then.
ALTER TABLE public.pyflake_nodes
    ADD COLUMN IF NOT EXISTS proven_at timestamptz,
    ADD COLUMN IF NOT EXISTS proven_in bigint NOT NULL DEFAULT 0;

COMMIT;
