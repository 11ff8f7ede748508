"""Operations: what is decided and done about what the hub knows; warnings and incidents are in ``incidents``."""
