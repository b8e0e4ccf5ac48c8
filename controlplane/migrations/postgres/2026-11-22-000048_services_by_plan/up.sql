-- Which plans the services of a tier have, without reading the services: asked when a tier gets other rates. Services with rates of
-- their own are not in it.
CREATE INDEX services_by_plan ON services (tier, plan, burst) WHERE own_guaranteed_per_s IS NULL;
