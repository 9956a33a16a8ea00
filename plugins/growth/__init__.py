"""The machinery of saas_growth: everything that is not a business word or a model."""
