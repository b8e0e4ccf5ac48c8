-- Which plans the services of a tier have, without reading the services: asked when a tier gets other rates. Services with rates of
-- their own, and those that are gone, are not in it.
CREATE INDEX services_by_tier ON services (tier, plan, burst)
    WHERE own_guaranteed_per_s IS NULL AND state <> 'not_provisioned';
