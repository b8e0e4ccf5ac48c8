DROP INDEX services_by_tier;
