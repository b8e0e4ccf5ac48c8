DROP TABLE key_groups;
