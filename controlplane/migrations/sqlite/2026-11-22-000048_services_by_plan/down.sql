DROP INDEX services_by_plan;
